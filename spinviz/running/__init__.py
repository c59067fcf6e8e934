"""What happens in the worker thread of a page: steps, changes, tools, plans, recordings, audits. No screen library."""
