"""Kernels: functions of plain arrays. Nothing here knows of nodes, ops or graphs.

``tasks`` names what there is to compute, ``registry`` chooses the kernel that computes it, and ``numpy`` holds the
kernels that are always there.
"""
