"""From a sample to a source that runs: new, validate, test, deploy, remove (S1-65 to S1-68)."""
