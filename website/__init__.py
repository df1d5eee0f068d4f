"""What makes the documentation site (`make docs`) and checks the prose of its pages (`make lint`)."""
