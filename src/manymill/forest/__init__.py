"""Forests of scikit-learn trained in parallel, on shared data or on partitions, and combined into one."""
