"""References, registry, content store, manifests, archives: images from wherever they come to layers on disk.

    images = ImageStore(home, layers)      # opens its own connections to the state file: pulls write from their threads
    images.pull(ref: str, *, platform="", auth: RegistryAuth | None = None, progress) -> Image      worker thread
    images.load(stream, progress) -> list[str]                                                      worker thread
    images.import_image(stream, ref, changes=(), message="", platform="") -> Image                  worker thread
    images.make_hello(launcher_path) -> Image                                                       worker thread, 10 ms
    images.resolve(name_or_id, platform="") -> Image       reads: a dictionary lookup, no lock, any thread
    images.list_images(filters={}, show_all=False) -> list[Image]
    images.tag(name_or_id, ref) ; images.remove(name_or_id, uses: Sequence[ImageUse], force, noprune) -> list[dict]
    images.collect_layers(in_use: Collection[str]) ; images.close()
    describe.summary(image) / inspect(image) / history(image): bodies in API shape
    progress: a callable that takes one JSON dict in Docker's shape; it is called from several threads, one at a time
"""
