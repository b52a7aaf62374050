// Asks everything that @iptv/xtream-api can, with its own reading of the types; prints what it was told.
// Arguments: server, user, password.
import { Xtream } from "@iptv/xtream-api";
import { standardizedSerializer } from "@iptv/xtream-api/standardized";

const [url, username, password] = process.argv.slice(-3);
const raw = new Xtream({ url, username, password });
const profile = await raw.getProfile();
if (profile.auth !== 1) {
  console.log(JSON.stringify({ profile }));
  process.exit(0);
}
const app = new Xtream({ url, username, password, serializer: standardizedSerializer });
const [first] = await app.getChannelCategories();
console.log(
  JSON.stringify({
    profile: await app.getProfile(),
    server: await app.getServerInfo(),
    categories: await app.getChannelCategories(),
    channels: await app.getChannels(),
    firstCategory: await app.getChannels({ categoryId: first.id }),
    epg: await raw.getShortEPG({ channelId: 1, limit: 4 }),
    table: await raw.getFullEPG({ channelId: 1 }),
    movies: [await app.getMovieCategories(), await app.getMovies()],
    shows: [await app.getShowCategories(), await app.getShows()],
  }),
);
