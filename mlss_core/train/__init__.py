"""Training: sequences -> crops -> pairs -> the network's own forward pass -> a checkpoint."""
