"""Bridges to other libraries; each module is imported only when asked for, and needs its own."""
