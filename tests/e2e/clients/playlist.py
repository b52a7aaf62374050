"""Prints the channels that m3u-ipytv finds in the playlist on stdin."""
import json
import sys

from ipytv import playlist

channels = playlist.loads(sys.stdin.read()).get_channels()
print(json.dumps([
    {
        "name": it.name,
        "url": it.url,
        "id": it.attributes.get("tvg-id", ""),
        "title": it.attributes.get("tvg-name", ""),
        "logo": it.attributes.get("tvg-logo", ""),
        "group": it.attributes.get("group-title", ""),
        "number": it.attributes.get("tvg-chno", ""),
    }
    for it in channels
]))
