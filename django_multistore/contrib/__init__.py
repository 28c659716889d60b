"""What goes beside one other package. Nothing here is imported unless a site names it."""
