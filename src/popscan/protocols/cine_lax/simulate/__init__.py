"""The digital heart of the short axis, with atria, seen in long-axis planes."""
