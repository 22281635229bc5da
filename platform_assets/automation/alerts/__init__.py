"""Who is told what, and when: facts, rules, incidents, routes, delivery (S1-104 to S1-106, S4-46 to S4-48)."""
