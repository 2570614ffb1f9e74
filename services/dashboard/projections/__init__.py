"""Pure folds from events to documents. Events of different streams come in any order and lead to the same document."""
