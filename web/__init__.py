"""The aiohttp application: routes, callers, problems."""
