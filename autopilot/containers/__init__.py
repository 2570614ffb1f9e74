"""The container stack's own two processes: `init` deals out credentials, `admin` keeps schema and topology."""
