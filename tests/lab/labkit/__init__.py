"""The lab: a clean server, the services beside it, and the bundle that is installed on it."""
