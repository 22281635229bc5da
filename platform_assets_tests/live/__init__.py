"""The platform as a person runs it: real processes, started once for all tests here, and stopped by the last one."""
