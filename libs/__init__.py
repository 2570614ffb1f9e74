"""Mechanisms. They know messages only in the abstract and nothing of the business."""
