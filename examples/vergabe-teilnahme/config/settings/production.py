"""Production: everything that differs between servers comes from the environment, nothing unsafe has a default."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from . import env
from .base import *

if env.flag("DEBUG", default=False):
    raise ImproperlyConfigured("DEBUG must not be switched on with the production settings.")
DEBUG = False

SECRET_KEY = env.required("SECRET_KEY")
# Old keys, newest first: sessions signed with them stay valid while SECRET_KEY is rotated.
SECRET_KEY_FALLBACKS = env.items("SECRET_KEY_FALLBACKS")

env.required("ALLOWED_HOSTS")
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.items("CSRF_TRUSTED_ORIGINS")

DATABASES = {"default": env.database(env.required("DATABASE_URL"))}
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database with the production settings.")

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Behind a proxy that always sets or removes this header, e.g. "HTTP_X_FORWARDED_PROTO,https". Trusting it without
# such a proxy would let a client claim HTTPS, so there is no default.
_proxy_header = env.items("SECURE_PROXY_SSL_HEADER")
if len(_proxy_header) not in (0, 2):
    raise ImproperlyConfigured("SECURE_PROXY_SSL_HEADER must be a header and a value: HTTP_X_FORWARDED_PROTO,https")
SECURE_PROXY_SSL_HEADER = (_proxy_header[0], _proxy_header[1]) if _proxy_header else None
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=True)
# Probes reach the pod directly, without the proxy's header; the answer holds nothing worth protecting.
SECURE_REDIRECT_EXEMPT = [r"^health/"]
# Start low: browsers remember it, also when the certificate is gone. Raise it once the site is known to work.
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", default=3600)
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
# Subdomains and preload lists concern hosts that are not this application's to decide about.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
