"""
Which of the host's routes change data, and what records it: ``manage.py auditkit_coverage``.

``report.report()`` walks the URLconf (:mod:`routes`), asks each view which methods it answers (:mod:`views`), and looks
for what records them (:mod:`evidence`): a decorator, a hook, a tracked model, or code that the view reaches
(:mod:`reaching`). Nothing is called and no request is made; what cannot be known counts as not audited.
"""
