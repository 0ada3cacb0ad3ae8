"""
Checkpoints, brought where whoever owns the database is not.

``port`` says what a publisher is; ``run`` hands each log's checkpoints to those that ``PUBLISHERS`` names, and remembers what
they answered. One publisher is one module: ``directory``, ``witness``, ``webhook``, ``mail``, ``s3``, ``timestamp``.
"""
