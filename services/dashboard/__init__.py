"""Shows people what is going on: views folded from the record, a JSON API, a live stream and one page.

Owns: nothing
Consumes: every event
Emits: nothing
Never: decides anything, writes for a browser session, shows a claim that is not in the record
"""
