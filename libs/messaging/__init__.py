"""The bus: how news of the record travels. A port (`bus`), its JetStream form and its in-memory twin."""
