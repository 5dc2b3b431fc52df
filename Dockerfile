# syntax=docker/dockerfile:1

# lastlayer's command line: `serve` by default, or any other command, such as `worker`. docs/server.md and docs/scale.md have examples.
ARG NODE_VERSION=22

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build

FROM node:${NODE_VERSION}-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# onnxruntime-node brings its libraries for every system; one is this image's.
RUN npm ci --omit=dev \
  && npm cache clean --force \
  && node -e "const fs=require('fs'),bin='node_modules/onnxruntime-node/bin/napi-v6';for(const os of fs.readdirSync(bin))for(const cpu of fs.readdirSync(bin+'/'+os))if(os!==process.platform||cpu!==process.arch)fs.rmSync(bin+'/'+os+'/'+cpu,{recursive:true})"

FROM node:${NODE_VERSION}-bookworm-slim
ENV NODE_ENV=production \
  LASTLAYER_HOME=/data
COPY --from=dependencies /app /app
COPY --from=build /build/dist /app/dist
COPY models /app/models
# Heads, stores and models: what is mounted here has to be readable, and writable for `embed` and `worker`, by the user node (1000).
RUN install --directory --owner=node --group=node /data
USER node
WORKDIR /data
VOLUME /data
EXPOSE 8080
# Of `serve`. A worker has no port, so start it with --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Not through npx, which does not pass signals on.
ENTRYPOINT ["node", "/app/dist/bin.cjs"]
CMD ["serve", "--host", "0.0.0.0"]
