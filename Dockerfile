# The server as an image: docker build -t carillon .

FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/web web
# The history of calls (SQLite), or what waits for PostgreSQL
RUN mkdir data && chown node:node data
VOLUME /app/data
USER node
EXPOSE 8080 3478/tcp 3478/udp 5349/tcp
# Not npm: signals must reach the server itself
CMD ["node", "--max-semi-space-size=32", "dist/src/main.js"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 8080) + '/livez').then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))"]
