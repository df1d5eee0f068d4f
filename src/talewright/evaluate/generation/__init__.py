"""Quality of generated stories."""
