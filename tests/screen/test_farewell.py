"""A tab's name on the server: known while its page is kept, gone when the tab was closed or given up."""

from __future__ import annotations

from tornado.testing import AsyncHTTPTestCase
from tornado.web import Application

from spinviz.serving import farewell


class TestFarewell(AsyncHTTPTestCase):
    def get_app(self) -> Application:
        self.closed: list[str] = []
        application = Application()
        for name in ("first", "second"):
            farewell.hear(application, name, lambda name=name: self.closed.append(name))
        return application

    def code(self, name: str, **request: str | bytes) -> int:
        return self.fetch(f"/live/{farewell.PATH}/{name}", **request).code

    def test_a_page_is_known_until_its_tab_is_closed(self) -> None:
        assert self.code("first") == 204
        assert self.code("first", method="POST", body=b"") == 204
        assert self.closed == ["first"]
        assert (self.code("first"), self.code("second")) == (404, 204)

    def test_farewell_is_heard_once(self) -> None:
        for _ in range(2):
            self.code("second", method="POST", body=b"")
        assert self.closed == ["second"]

    def test_a_page_that_was_given_up_is_not_known_and_its_farewell_let_pass(self) -> None:
        farewell.forget("first")
        assert self.code("first") == 404
        assert self.code("first", method="POST", body=b"") == 204
        assert self.closed == []
