"""How data arrives: every connector writes landing objects, and bronze is what landing holds (I3, I4)."""
