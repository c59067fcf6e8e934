"""Guided lessons: `panel serve apps/learn.py`."""

from spinviz.pages.learn import learn_page

learn_page().servable()
