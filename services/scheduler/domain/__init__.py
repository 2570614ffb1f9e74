"""Pure decisions of the scheduler: a task's walk, who holds a slot, the mode."""
