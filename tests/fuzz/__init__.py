"""Damaged inputs by the thousand: whatever comes in, a crystal or the project's own error comes out.

`python -m fuzz` (in tests/, or `make fuzz`) runs for as long as one likes; see docs/reliability.md.

- good.py: good inputs of every kind
- damage.py: ways to damage bytes, text, JSON and arrays
- targets.py: what is damaged, and what reads it
- child.py: a process that tries one input after another, under limits
- campaign.py: starts it, notices hangs and memory, keeps what failed
"""
