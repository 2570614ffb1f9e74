"""The dashboard's surface: JSON for programs, a live stream, and one page for people. It only reads."""
