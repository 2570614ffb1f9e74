"""What does the thinking or editing inside the stages `plan` and `implement`: one value for each engine."""
