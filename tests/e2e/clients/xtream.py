"""Logs in with pyxtream, loads everything, checks it against its schemas; prints what it found as the last line.

Arguments: server, user, password, a folder for its cache.
"""
import json
import sys

from pyxtream import pyxtream

server, user, password, cache = sys.argv[1:]
# What breaks a schema is only printed there.
complaints = []
is_valid = pyxtream.schemaValidator


def noted(value, schema):
    if not is_valid(value, schema):
        complaints.append(value)
        return False
    return True


pyxtream.schemaValidator = noted
app = pyxtream.XTream("test", user, password, server, cache_path=cache, validate_json=True)
app.load_iptv()
print()
print(json.dumps({
    "state": app.state,
    "complaints": complaints,
    "groups": sorted([group.group_id, group.name] for group in app.groups if group.group_id != 9999),
    "channels": [
        [it.id, it.name, it.group_title, it.epg_channel_id, it.logo, it.url] for it in app.channels
    ],
    "movies": len(app.movies),
    "series": len(app.series),
    "epg": app.liveEpgByStream(app.channels[0].id),
}))
