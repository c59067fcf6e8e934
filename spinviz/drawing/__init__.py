"""Pictures as pixels, without a browser: textures, films of all views, the scene in three dimensions."""
