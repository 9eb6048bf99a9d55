// One playhead for everything. It follows the player where there is one; otherwise it keeps time by itself.

const clock = {
  t: 0,
  playing: false,
  media: null,
  watchers: [],
  onMove(watcher) {
    this.watchers.push(watcher);
  },
  tell() {
    root.dataset.t = this.t.toFixed(3);
    for (const watcher of this.watchers) watcher(this.t);
  },
  seek(t) {
    this.t = Math.min(Math.max(t, 0), DURATION);
    if (this.media) this.media.currentTime = this.t;
    this.tell();
  },
  toggle() {
    if (this.media) {
      if (this.media.paused) this.media.play().catch((error) => stageNote(`The browser does not play this clip: ${error.message}`));
      else this.media.pause();
    } else if (this.playing) {
      this.stop();
    } else {
      if (this.t >= DURATION) this.t = 0;
      this.run();
    }
  },
  run() {
    if (this.playing) return;
    this.playing = true;
    let before = performance.now();
    const step = (now) => {
      if (!this.playing) return;
      if (this.media) {
        if (!this.media.seeking) this.t = Math.min(this.media.currentTime, DURATION);
      } else {
        this.t = Math.min(this.t + (now - before) / 1000, DURATION);
        if (this.t >= DURATION) this.stop();
      }
      before = now;
      this.tell();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
    this.tell();
  },
  stop() {
    this.playing = false;
    this.tell();
  },
  /** Follow a <video> or <audio>; the playhead stays where it was. */
  follow(media) {
    this.stop();
    this.media = media;
    let ours = true; // whether the seek under way is ours: then the playhead already stands where it should
    const seek = this.seek.bind(this);
    this.seek = (t) => {
      ours = true;
      seek(t);
    };
    media.addEventListener("seeked", () => {
      if (!ours) {
        this.t = Math.min(media.currentTime, DURATION);
        this.tell();
      }
      ours = false;
    });
    media.addEventListener("play", () => this.run());
    media.addEventListener("pause", () => this.stop());
    media.addEventListener("ended", () => this.stop());
    if (this.t > 0) this.seek(this.t);
    else ours = false;
  },
};
