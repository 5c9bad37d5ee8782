"""Forests grown in parallel, on shared data or on partitions, and combined into one."""
