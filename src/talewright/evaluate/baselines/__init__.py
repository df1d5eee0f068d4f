"""What a trained model is compared with: n-gram models and compressors."""
