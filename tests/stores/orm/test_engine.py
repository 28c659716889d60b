"""What the engine does on each store, on the default database."""

from __future__ import annotations

from tests.support.cases import device_pages, devices, engine, integration, receivers, users, views


class SessionStoreTests(engine.SessionStoreTests):
    pass


class ExpiryTests(engine.ExpiryTests):
    pass


class TouchTests(engine.TouchTests):
    pass


class AuthenticatedAtTests(engine.AuthenticatedAtTests):
    pass


class DevicesTests(devices.DevicesTests):
    pass


class ViewTests(views.ViewTests):
    pass


class DeviceListTests(device_pages.ListTests):
    pass


class EndManyTests(device_pages.EndManyTests):
    pass


class JsonTests(device_pages.JsonTests):
    pass


class UserReceiverTests(receivers.UserReceiverTests):
    pass


class LoginReceiverTests(receivers.LoginReceiverTests):
    pass


class UserIdTests(users.UserIdTests):
    pass


class ClientTests(users.ClientTests):
    pass


class InTestCase(integration.InTestCase):
    pass


class InTransactionTestCase(integration.InTransactionTestCase):
    pass
