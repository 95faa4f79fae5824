# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the checks of a site."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  checks:
    description: The requests.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Path and query.
        type: str
        required: true
      status:
        description: Expected status; redirects are not followed.
        type: int
        default: 200
      location:
        description: Expected path of a redirect.
        type: str
      title:
        description: Text expected in the page's title element.
        type: str
      content_type:
        description: Expected media type, without parameters.
        type: str
      contains:
        description: Text expected in the body.
        type: str
      excludes:
        description: Text that must not be in the body.
        type: str
      headers:
        description: Request headers.
        type: dict
        default: {}
      assets:
        description: Also fetch the page's own stylesheets and scripts and check status and media type.
        type: bool
        default: false
"""
