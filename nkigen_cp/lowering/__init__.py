"""Plan to NKI IR: every decision carried out, none made."""
