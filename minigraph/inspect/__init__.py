"""What looks at a graph: its layers and costs, the time of its nodes, its matrices, its picture."""
