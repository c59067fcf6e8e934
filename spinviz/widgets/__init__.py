"""Parts of pages: drawers, tools, time line, plans, downloads. Widgets and what they ask the session for."""
