"""Pure judgement: one file for each family of gates, one decider that asks them."""
