"""One-pass evaluation of trackers on annotated thermal sequences, by the field's definitions."""
