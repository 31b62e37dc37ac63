"""Commands for doit; each module imports nothing but doit and the standard library until its command runs."""
