# SPDX-License-Identifier: BSD-3-Clause
"""Start the real components (testpmd, virtio-user, telemetry) the tests and the demo run on.

Put `devtools/` on sys.path and import `lab.testpmd`, `lab.process`, `lab.paths`...
"""
