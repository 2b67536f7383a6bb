// Interactions that are measured without being asked for, as GA4's enhanced measurement does.

const FILE = /\.(pdf|xlsx?|docx?|txt|rtf|csv|exe|key|pp[st]x?|7z|pkg|rar|gz|zip|avi|mov|mp[34]|mpe?g|wmv|midi?|wav|wma)$/i;
let hasScrolled;
let startedForm;

function followScroll() {
  listen(window, 'scroll', () => {
    if (hasScrolled || innerHeight + scrollY < document.documentElement.scrollHeight * 0.9) return;
    hasScrolled = true;
    send('scroll', { percent_scrolled: 90 });
  });
}

function followLinks() {
  listen(document, 'click', target => {
    const link = target.closest && target.closest('a[href]');
    if (!link || !/^http/.test(link.href)) return;
    const file = measures('download') && FILE.exec(link.pathname);
    const told = { link_url: link.href, link_id: link.id, link_classes: link.className,
      link_domain: link.hostname };
    if (file) {
      send('file_download', { ...told, file_name: link.pathname, file_extension: file[1],
        link_text: link.textContent });
    } else if (isLinked(link)) link.href = carriedBy(link.href);
    else if (link.hostname != location.hostname && measures('click')) {
      send('click', { ...told, outbound: true });
    }
  });
  listen(document, 'submit', carryByForm);
  listen(document, 'formdata', carryByForm);
}

function followForms() {
  const tell = (name, form, more) => send('form_' + name, { form_id: form.id,
    form_name: form.getAttribute('name'), form_destination: form.action, ...more });
  listen(document, 'change', target => {
    if (target.form && target.form != startedForm) tell('start', startedForm = target.form);
  });
  listen(document, 'submit', (target, { submitter }) => tell('submit', target,
    { form_submit_text: submitter && submitter.textContent }));
}

function followVideos() {
  const told = new WeakMap(); // the percent that was told last of each video
  function tell(name, video, percent) {
    if (video.tagName != 'VIDEO') return;
    told.set(video, percent);
    send('video_' + name, { video_provider: 'html5', video_url: video.currentSrc,
      video_title: video.title, video_duration: Math.round(video.duration),
      video_current_time: Math.round(video.currentTime), video_percent: percent });
  }
  listen(document, 'play', target => told.get(target) || tell('start', target, 1));
  listen(document, 'timeupdate', target => [10, 25, 50, 75].forEach(percent => {
    if (told.get(target) < percent && target.currentTime * 100 >= target.duration * percent) {
      tell('progress', target, percent);
    }
  }));
  listen(document, 'ended', target => tell('complete', target, 100));
}

function noteSearch() {
  for (const [name, value] of new URL(pageUrl).searchParams) {
    if (value && searchNames.includes(name)) send('view_search_results', { search_term: value });
  }
}
