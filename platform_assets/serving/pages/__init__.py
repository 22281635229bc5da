"""The pages that people read in a browser: how fresh every table is. Made here, without a script or a build step."""
