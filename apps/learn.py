"""Guided lessons: `panel serve apps/learn.py`."""

from spinviz.learn_page import learn_page

learn_page().servable()
