// Prints the channels that iptv-playlist-parser finds in the playlist on stdin.
import { readFileSync } from "node:fs";
import parser from "iptv-playlist-parser";

const { items } = parser.parse(readFileSync(0, "utf8"));
const channels = items.map(({ name, url, tvg, group, raw }) => ({
  name,
  url,
  id: tvg.id,
  title: tvg.name,
  logo: tvg.logo,
  group: group.title,
  number: /tvg-chno="([^"]*)"/.exec(raw)?.[1] ?? "",
}));
console.log(JSON.stringify(channels));
