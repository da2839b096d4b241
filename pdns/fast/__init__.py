"""The compiled kernels of the answer path.

Every module here has its contract in a `.pxd` and its specification in Python, and tests hold the two together.
"""
