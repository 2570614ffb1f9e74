"""All seven services in one process, with everything that can go wrong going wrong; see docs/simulation.md."""
