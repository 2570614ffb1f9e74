"""The outside of the stage-runner: executor, stages, ledger."""
