// What the studio says, in two languages.
const all = {
  en: {
    skip: "Skip to the content", runs: "Runs", create: "Create", write: "Write", other: "中文",
    footer: "Everything here is made on this machine. Pictures and texts carry the label that they are AI-generated.",
    noRuns: "Nothing trained yet", noRunsHow: "A run appears here as soon as it begins. In a terminal:", tryDemo: "Train on built-in pictures, 5 minutes",
    useOwn: "Use your own pictures or texts", myPictures: "My pictures", gone: "deleted", apiDocs: "API", ofPictures: "Pictures", ceiling: "real data",
    tooMany: "These are more than 65,535 files or 4 GB. Put them into a folder that the server may read (--data).",
    noPictures: "No model of pictures yet", noText: "No model of text yet",
    steps: "steps", step: "Step", trained: "Trained", best: "Best look", training: "training", notJudged: "no score yet",
    model: "Model", seed: "Seed", count: "Pictures", className: "Class", each: "each in turn", truncation: "Truncation",
    typical: "below 1 more typical, above 1 more varied", make: "Make pictures", another: "Another seed", making: "Making…",
    recipe: "Recipe", index: "Number", download: "Download", favourite: "Favourite", unfavourite: "No favourite",
    vary: "Vary", strength: "How far", walkFrom: "Walk from here", walkTo: "Walk to this", walk: "Walk between two pictures",
    dropHint: "Drop a picture here. A picture that was made here restores its settings; any other picture is searched for in the model.", restored: "Settings restored",
    otherModel: "It was made by a model that is not here: ",
    prompt: "Beginning", promptHint: "What the text begins with; may be empty", temperature: "Temperature", pieces: "Side by side",
    tokens: "Tokens at most", stop: "Stop before", go: "Write", halt: "Stop", writing: "Writing…", copied: "Copied", copy: "Copy",
    scores: "Held-out score (lower is better)", losses: "Losses", samples: "Samples", notes: "What training says", report: "Report",
    settings: "Settings", useIt: "Create with it", writeIt: "Write with it", back: "All runs", data: "Data", family: "Model",
    key: "This server requires a key", keyHow: "The person who runs the server makes one with", enter: "Enter", failed: "That did not work: ",
    begins: "The data is being prepared; training begins in a moment.", new: "New", newRun: "Train a new model", train: "Train", minutes: "Minutes", jobs: "In work", queued: "waiting", running: "training",
    left: "about", cancel: "Cancel", chosen: "What was chosen, and why", looking: "Looking at the data…",
    checked: "What the check found", pictures: "Pictures that can be used", distinct: "Different ones", shorterSide: "Shorter side, median",
    rejected: "Left out", documents: "Documents", characters: "Characters",
    dropData: "Drop pictures, folders, a .zip or a text here, or click to choose files",
    judge: "Judge", models: "Models", lab: "Lab", auto: "choose for me", side: "Size", willChoose: "What will be chosen, and why",
    "task-judge": "judging", "task-explain": "explaining", failedJob: "failed", longer: "How much longer", goOn: "Go on training",
    explainIt: "Explain", judgeIt: "Judge", judgeAgain: "Judge again", judging: "It will be judged when the jobs before it have ended.",
    card: "Model card", explanation: "Explanation", delete: "Delete", deleted: "deleted; kept for a week.", undo: "Undo", export: "Export",
    noModels: "No model yet", modelsIntro: "A model is one file that describes itself. Export downloads it. A deleted model can be restored for a week.",
    judgeIntro: "An arrow says which way is better. Below each score stands what real data scores against other real data: the floor of KID, and the most that the others can be expected to reach. Compare scores only within one table.",
    run: "Run", texts: "Text", verdict: "In words", floor: "floor", bits: "Bits per byte, held out", ngram: "A 5-gram model has",
    kid: "KID", precision: "Precision", recall: "Recall", coverage: "Coverage",
    along: "Move along directions", alongHint: "These directions change the pictures of the model most. They have no names: move a slider to see what it does.",
    direction: "Direction", reset: "Back to the picture", searching: "Searching the model for this picture; this takes a while…",
    noPicture: "this is not a picture", found: "Found. Difference of the rebuilt picture:", listen: "Listen",
    labIntro: "A network of a few hundred numbers learns to generate points of the plane. It trains in this page; nothing is sent to the server.",
    labShape: "Real points", "shape-ring": "eight clusters", "shape-moons": "two moons", "shape-spiral": "a spiral", "shape-two": "two clusters",
    labRate: "Learning rate, 10 to the", labCritic: "Discriminator's rate", labCriticHint: "its learning rate as a multiple of the generator's; with 0 it does not learn",
    labBeta: "Weight of the KL term (β)", labBetaHint: "how strongly the codes are pulled towards a normal distribution",
    labRun: "Train", labPause: "Pause", labStep: "One step", labAgain: "From the beginning", labSlow: "slow motion",
    labPlane: "The plane with real and generated points", "lab-real": "real", "lab-made": "generated", "lab-rebuilt": "rebuilt",
    "lab-opinion": "green: the discriminator says real; violet: it says generated",
    "lab-d": "discriminator", "lab-g": "generator", "lab-error": "10 × squared error", "lab-kl": "KL in nats",
    labBegin: "Nothing is learned yet. Press Train, or One step.",
    labWon: "The discriminator classifies nearly all points correctly. The generator learns little from such a discriminator.",
    labCollapse: "Mode collapse: the generated points are good, but large parts of the real points are never generated.",
    labGood: "The generated points lie among the real points and cover nearly all of them.",
    labFar: "Most generated points are still far from real ones.", labBetter: "It is getting better: some parts are right, others are missing.",
    labBlur: "Rebuilt points are far from their originals: the code keeps too little about them. A smaller β helps.",
    labHoles: "Points are rebuilt well, but random codes give points between the real ones: the space of codes has holes. A larger β helps.",
    labGan: "A GAN has two networks. The generator turns random numbers into points; the discriminator says how real a point looks. Each learns from the other: the plane turns violet where generated points are, and the generated points move to the green parts.\nThe two losses do not fall as in other training. While both stay about level, both networks learn. When the discriminator's loss goes to zero, the generator learns nothing more. Set the discriminator's rate to 0 (it does not learn) or to 4 (it is too strong) and see what happens.",
    labVae: "A variational auto-encoder writes a short code for each point and rebuilds the point from it. Its loss has two terms that work against each other: the error of the rebuilt points, and the distance of the codes from a normal distribution (KL). The second term makes random numbers good codes.\nLines show how far each rebuilt point is from its original. With a small β points are rebuilt exactly, but random codes give points between the real ones. With a large β all points shrink to the middle.",
    offline: "The server cannot be reached. It may have been stopped.", made: "pictures made", play: "Look at each in turn",
  },
  zh: {
    skip: "跳到内容", runs: "训练", create: "作画", write: "写作", other: "English",
    footer: "这里的一切都在本机完成。图片与文字都带有“AI生成”标识。",
    noRuns: "还没有训练", noRunsHow: "训练一开始就会出现在这里。也可以在终端里运行：", tryDemo: "用内置图片训练 5 分钟",
    useOwn: "用自己的图片或文本", myPictures: "我的图片", gone: "已删除", apiDocs: "API", ofPictures: "图片", ceiling: "真实数据",
    tooMany: "超过 65,535 个文件或 4 GB。请放进服务器可以读取的文件夹（--data）。",
    noPictures: "还没有图片模型", noText: "还没有文字模型",
    steps: "步", step: "步", trained: "已训练", best: "最佳", training: "训练中", notJudged: "还没有分数",
    model: "模型", seed: "种子", count: "张数", className: "类别", each: "依次", truncation: "截断",
    typical: "小于 1 更典型，大于 1 更多样", make: "作画", another: "换个种子", making: "正在作画…",
    recipe: "配方", index: "序号", download: "下载", favourite: "收藏", unfavourite: "取消收藏",
    vary: "变化", strength: "幅度", walkFrom: "从这里出发", walkTo: "走到这里", walk: "在两张图之间行走",
    dropHint: "把图片拖进来：这里生成的图片会恢复它的设置，其他图片会在模型里寻找。", restored: "已恢复设置",
    otherModel: "生成它的模型不在这里：",
    prompt: "开头", promptHint: "文字从这里开始，可以留空", temperature: "温度", pieces: "并排篇数",
    tokens: "最多词元", stop: "遇到即停", go: "开始写", halt: "停止", writing: "正在写…", copied: "已复制", copy: "复制",
    scores: "留出集分数（越低越好）", losses: "损失", samples: "样本", notes: "训练的说明", report: "报告",
    settings: "设置", useIt: "用它作画", writeIt: "用它写作", back: "全部训练", data: "数据", family: "模型",
    key: "这个服务器需要密钥", keyHow: "服务器的主人可以这样生成：", enter: "进入", failed: "没有成功：",
    begins: "正在准备数据，马上开始训练。", new: "新建", newRun: "训练新模型", train: "开始训练", minutes: "分钟", jobs: "进行中", queued: "排队", running: "训练中",
    left: "大约还要", cancel: "取消", chosen: "选了什么，为什么", looking: "正在查看数据…",
    checked: "检查结果", pictures: "可用图片", distinct: "互不相同", shorterSide: "短边中位数",
    rejected: "未采用", documents: "篇数", characters: "字符数",
    dropData: "把图片、文件夹、.zip 或文本拖到这里，或点击选择文件",
    judge: "评测", models: "模型", lab: "实验室", auto: "替我选", side: "尺寸", willChoose: "将会选什么，为什么",
    "task-judge": "评测中", "task-explain": "解释中", failedJob: "失败", longer: "再训练多久", goOn: "继续训练",
    explainIt: "解释", judgeIt: "评测", judgeAgain: "重新评测", judging: "排在前面的任务结束后就开始评测。",
    card: "模型卡", explanation: "解释页", delete: "删除", deleted: "已删除，保留一周。", undo: "撤销", export: "导出",
    noModels: "还没有模型", modelsIntro: "一个模型就是一个文件，里面写着它是什么。“导出”可以下载它；删除后一周内可以恢复。",
    judgeIntro: "箭头表示哪个方向更好。每个分数下面是真实数据彼此比较的分数：对 KID 是下限，对其他分数是可望达到的上限。只有同一张表里的分数可以相比。",
    run: "训练", texts: "文字", verdict: "文字说明", floor: "下限", bits: "留出文本每字节比特", ngram: "5 元模型",
    kid: "KID", precision: "精确率", recall: "召回率", coverage: "覆盖率",
    along: "沿方向移动", alongHint: "沿这些方向，模型的图片变化最大。它们没有名字，拖动滑块看看效果。",
    direction: "方向", reset: "回到原图", searching: "正在模型里寻找这张图片，需要一会儿…",
    noPicture: "这不是图片", found: "找到了。重建图片相差", listen: "听一听",
    labIntro: "一个只有几百个数的网络学着模仿平面上的点。它就在这个页面里训练，什么也不发送。",
    labShape: "真实的点", "shape-ring": "八个簇", "shape-moons": "两弯月牙", "shape-spiral": "螺旋", "shape-two": "两个簇",
    labRate: "学习率，10 的次方", labCritic: "判别器的学习率", labCriticHint: "是生成器学习率的几倍；0 表示它不学习",
    labBeta: "KL 项的权重 (β)", labBetaHint: "把编码拉向正态分布的力度",
    labRun: "训练", labPause: "暂停", labStep: "一步", labAgain: "从头开始", labSlow: "慢动作",
    labPlane: "平面上的真实点与生成点", "lab-real": "真实", "lab-made": "生成", "lab-rebuilt": "重建",
    "lab-opinion": "绿色：判别器认为是真实的点；紫色：认为是生成的点",
    "lab-d": "判别器", "lab-g": "生成器", "lab-error": "10 × 平方误差", "lab-kl": "KL（奈特）",
    labBegin: "还什么都没学。按“训练”，或者一步一步来。",
    labWon: "判别器几乎把所有点都判对了，生成器从它那里学不到什么。",
    labCollapse: "模式崩溃：生成的点质量不错，但真实点有一大部分从未被生成。",
    labGood: "生成的点落在真实点之中，并且几乎覆盖了所有真实点。",
    labFar: "大多数生成点离真实点还很远。", labBetter: "正在变好：有些部分对了，有些还缺。",
    labBlur: "重建点离原点很远：编码保留的信息太少。β 小一点会好些。",
    labHoles: "点重建得很好，但随机编码生成的点落在真实点之间：编码空间里有空洞。β 大一点会好些。",
    labGan: "GAN 由两个网络组成。生成器把随机数变成点，判别器判断一个点有多像真实的点。它们互相学习：生成的点所在之处变成紫色，生成的点再移向绿色。\n两个损失不像别的训练那样下降。两者大致持平时，两个网络都在学习；判别器的损失降到零时，生成器就学不到东西了。把判别器的学习率设为 0（不学习）或 4（太强），看看会怎样。",
    labVae: "变分自编码器给每个点写一段短短的编码，再由编码重建这个点。损失有两项，互相牵制：重建误差，以及编码与正态分布的差距（KL）。有了后一项，随机数也能当编码用。\n线段表示重建点离原点多远。β 小时点能准确重建，但随机编码生成的点落在真实点之间；β 大时所有点都缩向中心。",
    // In English the server says them.
    "family-dcgan": "几百张图就能画得清晰，训练最快",
    "family-fastgan": "专为一百来张图设计，每一步较慢，边长不小于 32 像素",
    "family-projected": "fastgan 的生成器，对照照片特征训练：短时间内效果最好，需要安装权重",
    "family-vae": "画面偏模糊，但训练稳定：适合图片很少、要算似然，或要给已有图片编码时",
    "family-gpt": "Transformer：只要时间够把文本读上几遍，它最好",
    "family-lstm": "循环网络：小巧，在短文本上稳定",
    offline: "连不上服务器，它可能已经停止。", made: "张图片已生成", play: "逐张查看",
  },
};

const stored = localStorage.getItem("language");
let language = stored ?? (navigator.language.startsWith("zh") ? "zh" : "en");

/** The word for `key` in the language of the page; without one, `otherwise`. */
export const wordOr = (key, otherwise) => all[language][key] ?? otherwise;

/** The word for `key` in the language of the page. */
export const w = (key) => wordOr(key, key);

/** Writes all fixed words of the page. */
export function applyWords() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = w(element.dataset.words);
  document.getElementById("language").textContent = w("other");
}

/** Changes to the other language. */
export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("language", language);
  applyWords();
}
